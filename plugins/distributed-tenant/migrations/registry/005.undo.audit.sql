drop trigger audit_tenant_insert on tenants;
drop trigger audit_tenant_update on tenants;
drop function audit_tenant_change();
drop table audit_inbox;
drop table audit_heads;
drop table audit_log;
drop function audit_refuse();
do $$
begin
  execute format('drop owned by %I', current_user || '_audit');
  execute format('drop role %I', current_user || '_audit');
end
$$;
