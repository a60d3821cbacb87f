-- The feed says which incarnation of its id a tenant is, so a change of it is a change.
drop trigger tenants_told_again on tenants;
create constraint trigger tenants_told_again after update on tenants
  deferrable initially deferred for each row
  when ((old.version, old.name, old.domain, old.settings, old.lifecycle, old.purge_after, old.incarnation)
        is distinct from
        (new.version, new.name, new.domain, new.settings, new.lifecycle, new.purge_after, new.incarnation))
  execute function tenant_change_numbered();

-- What a service said about an earlier tenant of the same id does not count for this one.
alter table tenant_services add column incarnation text collate "C";
