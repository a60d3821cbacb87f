create table words (id bigint generated always as identity primary key, word text not null);
create schema side;
create table side.things (id serial primary key, word text not null);
create function side.loud(word text) returns text language sql as 'select upper(word)';
