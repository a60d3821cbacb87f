alter table tenant_services drop column incarnation;
drop trigger tenants_told_again on tenants;
create constraint trigger tenants_told_again after update on tenants
  deferrable initially deferred for each row
  when ((old.version, old.name, old.domain, old.settings, old.lifecycle, old.purge_after)
        is distinct from (new.version, new.name, new.domain, new.settings, new.lifecycle, new.purge_after))
  execute function tenant_change_numbered();
