FROM busybox
RUN printf "echo hi" > /x; chmod 755 /x; printf "#!/nope\n" > /y; chmod 755 /y
CMD ["/x"]