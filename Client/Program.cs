using Fleet.Client.Commands;

namespace Fleet.Client;

internal static class Program
{
    private static Task<int> Main(string[] args) => FleetCommand.InvokeAsync(args, Terminal.OfProcess());
}
