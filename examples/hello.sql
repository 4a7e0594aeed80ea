-- Ten numbers, as fast as they come.
-- thalweg run examples/hello.sql

CREATE TABLE numbers WITH (
    connector = 'impulse',
    event_rate = '1000',
    message_count = '10'
);

SELECT counter, counter * counter AS square FROM numbers;
