-- The processes of this service that run now, and how many connections each may open: their sum stays below the server's limit
-- through a rollout and a crash. Each process renews its row, and holds an advisory lock by its id for as long as it lives.
create table service_processes (
  id uuid primary key,
  granted integer not null check (granted >= 0),
  -- The most that all may open, as this process was configured: the smallest of all rows holds.
  connection_limit integer not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now()
);
