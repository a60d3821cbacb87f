create table secret (
  only_row boolean primary key default true check (only_row),
  tenant text not null,
  value text not null,
  uses integer not null default 0
);
create table hunt_writes (
  id bigint generated always as identity primary key,
  token text not null,
  tenant text not null,
  kind text not null check (kind in ('write', 'transaction', 'rolled back'))
);
create index hunt_writes_tenant on hunt_writes (tenant);
