alter table notes add column pinned boolean not null default false;
alter table no_such_table add column x int;
