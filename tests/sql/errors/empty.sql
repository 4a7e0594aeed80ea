-- nothing here

--# error empty-script
