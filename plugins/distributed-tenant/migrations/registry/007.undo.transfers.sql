drop table transfer_tenants;
drop table transfers;
