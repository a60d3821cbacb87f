create table words (id bigint generated always as identity primary key, title text not null);
create schema side;
create table side.things (id serial primary key, title text not null);
create function side.loud(title text) returns text language sql as 'select upper(title)';
