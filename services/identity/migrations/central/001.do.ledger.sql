-- How far each service has got with each tenant, by its own word. No foreign key to tenants: a service may report a
-- tenant that was asked for by a bare event before this service has heard of it.
create table tenant_services (
  tenant_id text not null,
  service text not null,
  status text not null
    constraint tenant_services_status_check
    check (status in ('pending', 'provisioning', 'ready', 'failed', 'foreign', 'removed')),
  step text,
  steps jsonb not null default '[]',
  attempts integer not null default 0,
  last_error text,
  next_try_at timestamptz,
  version bigint not null,
  -- The service's own count of changes of this tenant: what orders its words.
  revision bigint not null,
  schema_version integer,
  created_at timestamptz not null default now(),
  -- When the service said so, by its own clock: to be shown, never to be ordered by.
  updated_at timestamptz not null,
  ready_at timestamptz,
  primary key (tenant_id, service)
);

-- One domain, one tenant. A deleted tenant gives its domain back.
create unique index tenants_domain_key on tenants (domain) where domain is not null and lifecycle <> 'deleted';
