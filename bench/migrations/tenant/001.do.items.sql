create table items (
  id integer primary key,
  category integer not null,
  name text not null,
  price numeric(10, 2) not null,
  stock integer not null
);
insert into items
  select n, n % 40, 'Item number ' || n, (n * 37 % 10000) / 100.0, 1000000 from generate_series(1, 1000) n;
create index items_category on items (category);

create table movements (
  id bigint generated always as identity primary key,
  item_id integer not null references items,
  amount integer not null,
  moved_at timestamptz not null default now()
);
create index movements_item_id on movements (item_id);
analyze;
