using Fleet.Client.Commands;
using Fleet.Client.Faults;
using Fleet.Silo.Cluster;

namespace Fleet.Client;

internal static class Program
{
    private static Task<int> Main(string[] args)
    {
        // A generator that a run started: what it sent stands in its spool, as for one that was killed.
        if (Environment.GetEnvironmentVariable(ParentWatch.Variable) == ParentWatch.Yes)
            ParentWatch.Start(static () => ProcessSignal.Kill(Environment.ProcessId));
        return FleetCommand.InvokeAsync(args, Terminal.OfProcess());
    }
}
