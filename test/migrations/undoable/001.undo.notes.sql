drop table notes;
drop type mood;
