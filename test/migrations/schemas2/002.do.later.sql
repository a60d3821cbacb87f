create table side.later (id serial primary key, word text not null);
