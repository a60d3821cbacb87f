-- Sessions of the console that an operator has signed out of, until they would have ended: every replica refuses them.
create table console_sign_outs (
  session text primary key,
  until timestamptz not null
);
create index console_sign_outs_until on console_sign_outs (until);
