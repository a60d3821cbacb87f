-- What the relay last saw of the stream. Another `created`, a smaller `last_seq` or a larger `first_seq` tells it that
-- the stream was made anew, rewound or purged.
create table stream_seen (
  stream text primary key,
  created text not null,
  first_seq bigint not null,
  last_seq bigint not null,
  seen_at timestamptz not null default now()
);

-- In which stream a row's message is: rows whose message is gone are published again. `fed` counts how often, and keeps
-- the stream from taking the repeat for a duplicate.
alter table outbox add column stream_created text, add column fed integer not null default 0;
drop index outbox_waiting;
create index outbox_tenant on outbox (tenant_id, seq);
create index outbox_waiting on outbox (seq) where published_at is null and refused_at is null;
create index outbox_stream_seq on outbox (stream_seq) where stream_seq is not null;

-- Provisionings that are due again.
create index tenants_due on tenants (next_attempt_at) where next_attempt_at is not null;

-- `parked`: from a newer release, replayed by itself after an upgrade. A stream made anew counts from 1 again, so a
-- message is known by its stream too. What was replayed or dropped stays for a while, with what became of it.
alter table dead_events
  add column stream_created text not null default '',
  add column parked boolean not null default false,
  add column replays integer not null default 0,
  add column last_error text,
  add column resolution text check (resolution in ('replayed', 'dropped')),
  add column resolved_at timestamptz;
drop index dead_events_stream_seq;
create unique index dead_events_message on dead_events (stream_created, stream_seq, subject) where stream_seq is not null;
create index dead_events_open on dead_events (id) where resolved_at is null;
