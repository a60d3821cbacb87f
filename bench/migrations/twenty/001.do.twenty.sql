-- Twenty tables with a primary key, a foreign key and an index each: what a tenant of a middling application has.
create table bench_01 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_01,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_01_name on bench_01 (name);
create table bench_02 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_01,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_02_name on bench_02 (name);
create table bench_03 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_02,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_03_name on bench_03 (name);
create table bench_04 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_03,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_04_name on bench_04 (name);
create table bench_05 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_04,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_05_name on bench_05 (name);
create table bench_06 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_05,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_06_name on bench_06 (name);
create table bench_07 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_06,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_07_name on bench_07 (name);
create table bench_08 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_07,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_08_name on bench_08 (name);
create table bench_09 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_08,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_09_name on bench_09 (name);
create table bench_10 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_09,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_10_name on bench_10 (name);
create table bench_11 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_10,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_11_name on bench_11 (name);
create table bench_12 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_11,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_12_name on bench_12 (name);
create table bench_13 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_12,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_13_name on bench_13 (name);
create table bench_14 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_13,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_14_name on bench_14 (name);
create table bench_15 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_14,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_15_name on bench_15 (name);
create table bench_16 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_15,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_16_name on bench_16 (name);
create table bench_17 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_16,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_17_name on bench_17 (name);
create table bench_18 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_17,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_18_name on bench_18 (name);
create table bench_19 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_18,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_19_name on bench_19 (name);
create table bench_20 (
  id bigint generated always as identity primary key,
  parent_id bigint references bench_19,
  name text not null,
  amount numeric(12, 2) not null default 0,
  made_at timestamptz not null default now()
);
create index bench_20_name on bench_20 (name);
