drop table service_processes;
