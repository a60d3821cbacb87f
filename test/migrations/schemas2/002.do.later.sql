create table side.later (id serial primary key, title text not null);
