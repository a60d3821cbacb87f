drop table idempotency_keys;
drop index tenant_services_changed_by;
alter table tenant_services drop column changed_by;
drop trigger tenants_told_again on tenants;
drop trigger tenants_told on tenants;
drop function tenant_change_numbered();
drop table tenant_changes;
