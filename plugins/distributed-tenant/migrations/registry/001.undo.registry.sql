drop table dead_events;
drop table outbox;
drop function outbox_written();
drop table tenants;
drop function tenants_changed();
