-- Refused rows are counted at every scrape and there are hardly any, among the rows of thirty days.
create index outbox_refused on outbox (refused_at) where refused_at is not null;
