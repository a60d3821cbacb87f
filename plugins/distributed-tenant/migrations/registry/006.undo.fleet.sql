drop table migration_run_tenants;
drop table migration_runs;
