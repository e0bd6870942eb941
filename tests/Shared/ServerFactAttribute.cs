using Fleet.Storage.Server;

namespace Fleet.Tests;

/// <summary>A fact that needs PostgreSQL's server binaries: skips without them, fails where CI=true.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ServerFactAttribute : FactAttribute
{
    public ServerFactAttribute()
    {
        if (PrivateServer.FindBinaries() is null && Environment.GetEnvironmentVariable("CI") != "true")
        {
            Skip = "No PostgreSQL server binaries in /usr/lib/postgresql/*/bin or PATH.";
        }
    }
}
