-- +goose Up
CREATE TABLE house (
    house_id BIGINT           NOT NULL PRIMARY KEY CHECK (house_id = 1),
    state    TEXT COLLATE "C" NOT NULL CHECK (state IN ('Arriving', 'Home', 'Left')),
    since_ms BIGINT           NOT NULL,
    other    TEXT COLLATE "C" NOT NULL
);
