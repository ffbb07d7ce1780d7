use strict;
use warnings;
my %sum;
while (<STDIN>) { chomp; my ($k, $v) = split /,/; $sum{$k} += $v; }
print "$_: $sum{$_}\n" for sort keys %sum;
