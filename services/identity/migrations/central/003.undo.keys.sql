drop table first_users;
drop table signing_keys;
