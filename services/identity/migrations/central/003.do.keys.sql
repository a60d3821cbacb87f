-- The keys that sign tokens. Whoever can read this table can sign as identity: it belongs to identity's role alone.
create table signing_keys (
  kid text primary key,
  private_key text not null,
  public_key jsonb not null,
  created_at timestamptz not null default now(),
  -- Published before it signs, so that no verifier meets a key it has not heard of.
  signs_from timestamptz not null,
  -- Published after it has signed, until the last of its tokens is over; null while there is no successor.
  retires_at timestamptz
);

-- The first user of a tenant, from its creation until its database is there. Never in an event; deleted once made.
create table first_users (
  tenant_id text primary key,
  email text not null,
  display_name text not null,
  password_hash text not null,
  created_at timestamptz not null default now()
);
