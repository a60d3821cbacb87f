drop index outbox_refused;
