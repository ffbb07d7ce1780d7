# Lines of "COUNT WORD" become lines of "WORD BAR COUNT".
{
    bar = ""
    for (i = 0; i < $1; i++)
        bar = bar mark
    printf "%10s %s %d\n", $2, bar, $1
}
