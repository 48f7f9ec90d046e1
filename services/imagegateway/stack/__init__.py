"""`imagegateway up`: the whole stack on one machine, under supervisord."""
