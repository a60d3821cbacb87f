drop function take_spare(text, text, text, integer, text, text, text, text, jsonb, timestamptz);
drop function open_tenant_role(text, text, text, text);
drop function prepare_tenant_role(text, text, text);
alter table tenants drop column role_key;
drop table templates;
drop sequence spare_numbers;
drop table spares;
