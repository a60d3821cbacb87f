drop table leave_requests;
