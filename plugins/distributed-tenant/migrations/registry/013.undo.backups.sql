drop table backup_archives;
drop table backup_runs;
