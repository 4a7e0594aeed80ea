-- The weather at New York's three airports, week by week.
-- Run it with `make run`, or: thalweg run examples/weather.sql

CREATE TABLE weather (
    time TIMESTAMP NOT NULL,
    airport TEXT NOT NULL,
    temp_f DOUBLE,
    wind_mph DOUBLE,
    rain_in DOUBLE,
    WATERMARK FOR time AS time - INTERVAL '1 hour'
) WITH (
    connector = 'single_file',
    path = 'examples/data/nyc_weather_2013q1.jsonl',
    type = 'source',
    format = 'json'
);

SELECT
    week.start AS week,
    airport,
    hours,
    coldest_f,
    warmest_f,
    wind_mph,
    rain_in
FROM (
    SELECT
        tumble(INTERVAL '7 days') AS week,
        airport,
        count(*) AS hours,
        min(temp_f) AS coldest_f,
        max(temp_f) AS warmest_f,
        round(avg(wind_mph), 1) AS wind_mph,
        round(sum(rain_in), 2) AS rain_in
    FROM weather
    GROUP BY week, airport
);
