-- The birth certificate of a tenant database: written once, bound to the tenant by the comment on the database. A
-- template and a fresh clone of it carry none; a database without this table is not ours.
create table distributed_tenant.certificate (
  only_row boolean primary key default true check (only_row),
  certificate text not null,
  written_at timestamptz not null default now()
);
