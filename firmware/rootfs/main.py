import kerbnode.app

kerbnode.app.main()
