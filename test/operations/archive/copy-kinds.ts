// The kinds of contents of a tenant's database that a copy must include, or refuse by name: one small database each.
export interface Kind {
  readonly name: string
  /** By the service's role, in the tenant's database. `{group}`: the tenants' group; `{database}`: its own name. */
  readonly sql: string
  /** Queries on the copy: each must answer with one true value. */
  readonly same?: readonly string[]
  /** Its copy names the service's role. */
  readonly named?: true
}

/** Contents that are copied. */
export const copied: readonly Kind[] = [
  {
    name: 'a domain whose default draws from a sequence',
    sql: `create sequence numbers; create domain number_of as bigint default nextval('numbers');
      create table bills (id number_of primary key, n int); insert into bills (n) values (1), (2)`,
    same: ['select count(*) = 2 from bills'],
  },
  {
    name: 'a foreign key that a partition had before it was attached',
    sql: `create table wards (id int primary key);
      create table calls (d date not null, ward int, foreign key (ward) references wards) partition by range (d);
      create table calls_24 (d date not null, ward int, constraint calls_24_known foreign key (ward) references wards);
      alter table calls attach partition calls_24 for values from ('2024-01-01') to ('2025-01-01')`,
  },
  {
    name: 'a foreign key to a table whose partitions came later',
    sql: `create table years (y int, id int, primary key (y, id)) partition by range (y);
      create table years_24 partition of years for values from (2024) to (2025);
      create table sums (id int primary key, y int, yid int, foreign key (y, yid) references years (y, id));
      create table years_25 partition of years for values from (2025) to (2026);
      create table years_23 partition of years for values from (2023) to (2024);
      insert into years values (2024, 1), (2025, 1); insert into sums values (1, 2024, 1), (2, 2025, 1)`,
  },
  {
    name: 'a table that inherits, with a column that its parent got later',
    sql: `create table things (id int primary key, name text); create table screens (serial text) inherits (things);
      insert into screens values (1, 'a', 'S-1'); alter table things add column bought date;
      insert into screens values (2, 'b', 'S-2', '2024-01-02'); create table empty_child () inherits (things)`,
    same: [`select count(*) = 2 from only screens where serial is not null`],
  },
  {
    name: 'two parents, a column dropped and one without columns',
    sql: `create table p1 (a int, x text); create table p2 (b int); create table child (c int default 3) inherits (p1, p2);
      alter table p1 drop column x; alter table p2 add column "Late one" text default 'y'; insert into child (a, b) values (1, 2);
      create table bare (); insert into bare default values`,
  },
  {
    name: 'joins whose spelling changes when they are read again',
    sql: `create table a1 (x int); create table b1 (y int); create view ab as select * from a1 natural left join b1;
      create table c1 (x int, z int); create view ac as select * from a1 join c1 using (x) full join b1 on true;
      create view al as select q.* from (a1 left join c1 using (x)) as q`,
  },
  {
    name: 'options of views and tables in any order',
    sql: `create table people (id int primary key, active boolean not null default true, name text) with (fillfactor = 70, autovacuum_enabled = off);
      create view active_people with (check_option = 'local', security_barrier = true) as select * from people where active;
      alter table people set (toast.autovacuum_enabled = off)`,
  },
  {
    name: 'no schema public',
    sql: `create schema app; create table app.things (id int primary key); insert into app.things values (1); drop schema public cascade`,
    same: [`select count(*) = 0 from pg_namespace where nspname = 'public'`, 'select count(*) = 1 from app.things'],
  },
  {
    name: 'expressions whose casts move',
    sql: `create table worded (a varchar(9) default 'x' check (a in ('x', 'y')), b int, c numeric(9, 2) check ((b, c) is distinct from (1, 2)),
        d int generated always as (case when a in ('x', 'y') then 1 else b end) stored);
      create index on worded (lower(a)) where a in ('x', 'z');
      create view wording as select a from worded where a in ('x', 'y') and (a, b) is distinct from ('x', 1);
      create rule worded_rule as on update to wording do instead update worded set a = new.a where a = old.a and a in ('x', 'y');
      alter table worded enable row level security; create policy mine on worded using (a in ('x', 'y')) with check (b between 1 and 3);
      create function touched() returns trigger language plpgsql as $$ begin return new; end $$;
      create trigger touched before update of a on worded for each row when (old.a is distinct from new.a and new.a in ('x', 'y')) execute function touched()`,
  },
  {
    name: 'a materialized view by a function that finds its table by the search path',
    sql: `create table sales (id int primary key, amount int); insert into sales values (1, 10), (2, 20);
      create function total_sales() returns bigint language sql stable as 'select sum(amount) from sales';
      create materialized view totals as select total_sales() as total; create materialized view "of Totals" as select * from totals;
      create materialized view later as select 1 as one with no data`,
    same: ['select total = 30 from "of Totals"', `select not relispopulated from pg_class where relname = 'later'`],
  },
  {
    name: 'a materialized view that is out of date and cannot be refreshed',
    sql: `create table votes (id int, who text); insert into votes values (1, 'a'), (2, 'b');
      create materialized view board as select id, who from votes; create unique index on board (id); insert into votes values (1, 'late')`,
    same: ['select count(*) = 3 from votes'],
  },
  {
    name: 'rights that are less than the group has otherwise',
    named: true,
    sql: `create table ledger (id int primary key, amount int, secret text); revoke update, delete on ledger from {group};
      revoke select on ledger from {group}; grant select (id, amount) on ledger to {group};
      create function wipe() returns void language sql security definer as 'delete from public.ledger'; revoke execute on function wipe() from public;
      create schema closed; revoke usage on schema closed from {group}; create type temper as enum ('a'); revoke usage on type temper from public;
      alter default privileges revoke execute on functions from public; alter default privileges in schema closed grant insert on tables to {group}`,
    same: [
      `select not has_table_privilege('{group}', 'ledger', 'delete') and not has_column_privilege('{group}', 'ledger', 'secret', 'select') and has_column_privilege('{group}', 'ledger', 'id', 'select')`,
      `select not has_function_privilege('{group}', 'wipe()', 'execute') and not has_schema_privilege('{group}', 'closed', 'usage')`,
      `select not has_type_privilege('{group}', 'temper', 'usage')`,
      `select count(*) = 2 from pg_default_acl where defaclobjtype = 'f' or defaclnamespace <> 0`,
    ],
  },
  {
    name: 'settings of the database',
    named: true,
    sql: `create schema app; create schema "Odd, one"; create table app.things (id int primary key);
      do $$ begin execute format('alter database %I set search_path = app, "Odd, one", "$user", public', current_database());
        execute format('alter database %I set timezone = %L', current_database(), 'Europe/Berlin');
        execute format('alter role current_user in database %I set work_mem = %L', current_database(), '5MB'); end $$`,
    same: [
      `select to_regclass('things') is not null and current_setting('timezone') = 'Europe/Berlin'`,
      `select current_setting('work_mem') = '5MB'`,
      `select current_setting('search_path') = 'app, "Odd, one", "$user", public'`,
    ],
  },
  {
    name: 'comments, statistics, collations, searches, casts, operators, aggregates, procedures',
    sql: `create table t (a int, b int, c text); comment on table t is 'of t'; comment on column t.a is 'of a';
      create statistics st (dependencies, ndistinct) on a, b from t; alter statistics st set statistics 50;
      alter table t alter column a set statistics 7; alter table t alter column c set storage external; alter table t alter column b set (n_distinct = 5);
      create collation numeric_order (provider = icu, locale = 'en-u-kn-true'); create text search configuration words (copy = simple);
      create text search dictionary dict (template = simple); alter text search configuration words alter mapping for asciiword with dict;
      create type pair as (x int, y int); create function of_pair(pair) returns int language sql immutable as 'select $1.x';
      create cast (pair as int) with function of_pair(pair); create function less(pair, pair) returns boolean language sql immutable as 'select $1.x < $2.x';
      create operator <<< (leftarg = pair, rightarg = pair, function = less); create aggregate adding (int) (sfunc = int4pl, stype = int, initcond = '0');
      create procedure doing(x int default 3) language plpgsql as $$ begin end $$; create domain positive as int not null check (value > 0);
      create type span as range (subtype = int); create function newer(a int) returns int language sql begin atomic select a + 1; end;
      alter function newer(int) set search_path = pg_catalog; create publication changes for table t`,
    same: [
      `select obj_description('t'::regclass) = 'of t' and adding(a) = 3 from (values (1), (2)) v (a)`,
      'select count(*) = 1 from pg_publication',
    ],
  },
  {
    name: 'constraints, sequences, identity, unlogged, replica identity, cluster, compression',
    sql: `create table u (id int generated by default as identity (start 10 increment 5), v int not null, r int4range, w text,
        exclude using gist (r with &&) deferrable initially deferred, unique (v) deferrable, constraint later_checked check (v > 0) not valid);
      insert into u (v, w) values (1, 'a'); create unlogged table un (a int); insert into un values (1); create unique index un_a on un (a);
      alter table u alter column v set not null; create unique index u_w on u (w, v); alter table u replica identity full; create index on u (w desc nulls last) include (v);
      create table keyed (a int primary key, b text); alter table keyed cluster on keyed_pkey;
      create sequence s as smallint increment -2 minvalue -100 maxvalue 100 start 5 cache 3 cycle; select nextval('s'); create sequence never_called;
      create table by_hash (a int, b text) partition by hash (a); create table by_hash_0 partition of by_hash for values with (modulus 2, remainder 0);
      create table other_order (b text, a int); alter table by_hash attach partition other_order for values with (modulus 2, remainder 1);
      insert into by_hash select n, 'x' from generate_series(1, 20) n; create index on by_hash (b);
      create table refs (id int references keyed on delete set null on update cascade deferrable)`,
    same: ['select count(*) = 20 from by_hash', `select last_value = 1 and is_called from s`],
  },
  {
    name: 'a check by a function of its own that reads no table',
    sql: `create function valid_phone(text) returns boolean language plpgsql as $$ begin return $1 ~ '^[0-9]+$'; end $$;
      create table contacts (id int primary key, phone text check (valid_phone(phone))); insert into contacts values (1, '123')`,
    same: ['select count(*) = 1 from contacts'],
  },
]

export interface Refused extends Kind {
  /** The backup's message. */
  readonly output: RegExp
  /** By the instance's superuser, before. */
  readonly superuser?: string
  /** Kinds that are named only after a trial. */
  readonly tried?: boolean
  /** Its rows cannot be read either: export's message. */
  readonly exported?: RegExp
}

/** Contents that PostgreSQL, or this service's role, cannot restore: named, and no archive is written. */
export const refused: readonly Refused[] = [
  {
    name: 'forced row security',
    sql: `create table slips (id int primary key, owner text); insert into slips values (1, 'ada'); alter table slips enable row level security;
      alter table slips force row level security; create policy own on slips using (owner = current_setting('app.user', true))`,
    output: /has forced row security on public\.slips.*`alter table public\.slips no force row level security`/,
    exported:
      /tenant_gone-0_core of core has forced row security on public\.slips.*`alter table public\.slips no force row level security`.*Nothing was exported/,
  },
  {
    name: 'large objects',
    sql: `select lo_from_bytea(4711, 'large')`,
    output: /has 1 large objects.*bytea column.*lo_unlink/,
  },
  {
    name: 'objects of another role',
    superuser: 'grant other_reports to current_user',
    sql: `create table totals (n int); grant create, usage on schema public to other_reports;
      create function whoami() returns text language sql security definer as 'select current_user::text'; alter function whoami() owner to other_reports;
      create view v_totals as select n from totals; alter view v_totals owner to other_reports; revoke create on schema public from other_reports`,
    output:
      /objects of other roles \(function public\.whoami\(\) of other_reports, view public\.v_totals of other_reports\).*owner to/,
  },
  {
    name: 'rights of the tenant’s own role',
    sql: `create table mine (n int); do $$ begin execute format('grant select on mine to %I', current_database()); end $$`,
    output: /rights of the tenant’s role itself/,
  },
  {
    name: 'a check that reads a table',
    sql: `create table b_roles (name text primary key); insert into b_roles values ('x');
      create function role_known(r text) returns boolean language plpgsql stable as $$ begin return exists (select from b_roles where name = r); end $$;
      create table a_members (id int primary key, role text check (role_known(role))); insert into a_members values (1, 'x')`,
    output: /cannot be restored as it was .*role_known/,
    tried: true,
  },
  {
    name: 'an index by a function that reads a table',
    sql: `create table rates (n int); insert into rates values (3);
      create function rated(int) returns int language plpgsql immutable as $$ begin return $1 * (select n from rates limit 1); end $$;
      create table sold (n int); insert into sold values (1); create index on sold (rated(n))`,
    output: /cannot be restored as it was .*rated/,
    tried: true,
  },
  {
    name: 'an event trigger',
    superuser: `create function quiet() returns event_trigger language plpgsql as $$ begin end $$; create event trigger watching on ddl_command_end execute function quiet()`,
    sql: 'select 1',
    output: /watching|quiet/,
  },
  {
    name: 'a cast that only a superuser makes',
    superuser: 'create cast (varchar as jsonb) with inout as implicit',
    sql: 'create table facts (n int)',
    output: /has cast from character varying to jsonb, which the service’s role may not make/,
  },
  {
    name: 'a foreign data wrapper',
    superuser: 'create foreign data wrapper dummy',
    sql: 'create table facts (n int)',
    output: /has foreign data wrapper dummy, which the service’s role may not make/,
  },
]
