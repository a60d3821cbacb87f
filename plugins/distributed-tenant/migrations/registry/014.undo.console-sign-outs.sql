drop table console_sign_outs;
