drop table departments;
