drop table move_batch_tenants;
drop table move_batches;
drop table full_instances;
