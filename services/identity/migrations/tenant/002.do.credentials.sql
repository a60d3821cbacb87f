-- How a user of this tenant proves who they are. In a table of its own, so that no list of users ever carries it.
create table credentials (
  user_id uuid primary key references users (id) on delete cascade,
  -- scrypt in PHC form: its parameters, salt and key.
  password_hash text not null,
  changed_at timestamptz not null default now()
);
