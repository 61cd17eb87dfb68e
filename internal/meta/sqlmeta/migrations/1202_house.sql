-- +goose Up
CREATE TABLE house (
    house_id BIGINT NOT NULL PRIMARY KEY CHECK (house_id = 1),
    state    TEXT   NOT NULL CHECK (state IN ('Arriving', 'Home', 'Left')),
    since_ms BIGINT NOT NULL,
    other    TEXT   NOT NULL
);
