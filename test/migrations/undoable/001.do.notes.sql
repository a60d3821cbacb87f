create type mood as enum ('calm', 'busy');
create table notes (
  id bigint generated always as identity primary key,
  body text not null unique,
  mood mood not null default 'calm',
  tags text[] not null default '{}'
);
