create table invoices (
  id bigint generated always as identity primary key,
  amount integer not null,
  due date not null,
  reminded boolean not null default false
);
