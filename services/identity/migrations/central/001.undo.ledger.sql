drop index tenants_domain_key;
drop table tenant_services;
