drop index dead_events_open;
drop index dead_events_message;
delete from dead_events where stream_created <> '';
create unique index dead_events_stream_seq on dead_events (stream_seq, subject) where stream_seq is not null;
alter table dead_events drop column stream_created, drop column parked, drop column replays, drop column last_error,
  drop column resolution, drop column resolved_at;
drop index tenants_due;
drop index outbox_stream_seq;
drop index outbox_waiting;
drop index outbox_tenant;
create index outbox_waiting on outbox (tenant_id, seq) where published_at is null and refused_at is null;
alter table outbox drop column stream_created, drop column fed;
drop table stream_seen;
