create table items (
  id integer generated always as identity primary key,
  name text not null unique,
  quantity integer not null default 0 check (quantity >= 0)
);
