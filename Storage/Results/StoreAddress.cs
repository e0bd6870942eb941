using System.Text.RegularExpressions;
using Fleet.Storage.Server;
using Npgsql;

namespace Fleet.Storage.Results;

/// <summary>
/// Which store, and where: <c>postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?OPTION=VALUE]</c>,
/// <c>private[:DIR]</c> for the server that <c>fleet db up</c> made, or a directory.
/// </summary>
/// <remarks>
/// A password may also come from PGPASSWORD, from PGPASSFILE or from <c>passfile=</c>; it is never printed.
/// </remarks>
public sealed partial class StoreAddress
{
    /// <summary>Where <c>fleet db</c> keeps its server unless told otherwise.</summary>
    public const string PrivateDirectory = "./fleet-db";

    private const string Private = "private";

    private static readonly string[] Schemes = ["postgres", "postgresql"];

    private StoreAddress(string text, string? directory, string? connectionString)
    {
        Unredacted = text;
        Text = Redact(text);
        Directory = directory;
        ConnectionString = connectionString;
    }

    /// <summary>The address as it may be printed.</summary>
    public string Text { get; }

    /// <summary>The address with its password, for another process of the run; never printed.</summary>
    public string Unredacted { get; }

    /// <summary>Directory of DuckDB files; null for PostgreSQL.</summary>
    public string? Directory { get; }

    public bool IsPostgres => ConnectionString is not null;

    internal string? ConnectionString { get; }

    /// <exception cref="StorageException">It is neither; says what was wrong and what is accepted.</exception>
    public static StoreAddress Parse(string text)
    {
        const string Accepted = "accepted are postgres://USER@HOST:PORT/DATABASE, private[:DIR] and a directory";
        if (string.IsNullOrWhiteSpace(text))
        {
            throw new StorageException($"The store address is empty; {Accepted}.");
        }

        if (text == Private || text.StartsWith(Private + ":", StringComparison.Ordinal))
        {
            var directory = text.Length > Private.Length + 1 ? text[(Private.Length + 1)..] : PrivateDirectory;
            return Parse(PrivateServer.AddressIn(directory));
        }

        var colon = text.IndexOf("://", StringComparison.Ordinal);
        if (colon < 0)
        {
            var directory = Path.GetFullPath(text);
            return File.Exists(directory)
                ? throw new StorageException($"The store address {text} is a file; {Accepted}.")
                : new(text, directory, null);
        }

        if (!Schemes.Contains(text[..colon], StringComparer.OrdinalIgnoreCase))
        {
            throw new StorageException($"The store address starts with {text[..colon]}://; {Accepted}.");
        }

        if (!Uri.TryCreate(text, UriKind.Absolute, out var uri) || uri.Host.Length == 0)
        {
            throw new StorageException($"The store address {Redact(text)} has no host; {Accepted}.");
        }

        if (uri.AbsolutePath.Trim('/').Length == 0)
        {
            throw new StorageException($"The store address {Redact(text)} names no database; {Accepted}.");
        }

        return new(text, null, Connection(uri, text));
    }

    /// <summary>Replaces every password in a text that holds addresses or connection strings.</summary>
    public static string Redact(string text) =>
        PasswordOption().Replace(PasswordInAddress().Replace(text, "$1***@"), "$1***");

    public override string ToString() => Text;

    private static string Connection(Uri uri, string text)
    {
        var user = uri.UserInfo.Split(':', 2);
        var connection = new NpgsqlConnectionStringBuilder
        {
            Host = uri.Host,
            Port = uri.Port > 0 ? uri.Port : 5432,
            Database = Uri.UnescapeDataString(uri.AbsolutePath.Trim('/')),
            SearchPath = "fleet",
            ApplicationName = "fleet",
            MaxPoolSize = 16,
            MaxAutoPrepare = 32, // Each transition of the lifecycle sends the same few statements.
            WriteBufferSize = 64 * 1024,
            Timeout = 5,
            KeepAlive = 10,
            IncludeErrorDetail = true, // Names of our own objects, by which a stale one is known.
        };
        if (user[0].Length > 0)
        {
            connection.Username = Uri.UnescapeDataString(user[0]);
        }

        if (user.Length > 1)
        {
            connection.Password = Uri.UnescapeDataString(user[1]);
        }

        foreach (var option in uri.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var pair = option.Split('=', 2);
            var key = pair[0].ToLowerInvariant() switch
            {
                "user" => "Username",
                "sslmode" => "SSL Mode",
                "sslrootcert" => "Root Certificate",
                "sslcert" => "SSL Certificate",
                "sslkey" => "SSL Key",
                "connect_timeout" => "Timeout",
                var other => other,
            };
            try
            {
                var value = Uri.UnescapeDataString(pair.Length > 1 ? pair[1] : "");
                connection[key] = key == "SSL Mode" ? value.Replace("-", "", StringComparison.Ordinal) : value;
            }
            catch (Exception e) when (e is ArgumentException or KeyNotFoundException or FormatException)
            {
                throw new StorageException(
                    $"The store address {Redact(text)} has the option {pair[0]}, "
                    + "which is not one of Npgsql's or libpq's.", e);
            }
        }

        return connection.ConnectionString;
    }

    // A password may hold an @ of its own: the last one before the next blank or slash ends it.
    [GeneratedRegex(@"(\w://[^\s:/@]*:)\S*@")]
    private static partial Regex PasswordInAddress();

    [GeneratedRegex(@"((?:password|pwd)\s*=\s*)(?:'[^']*'|""[^""]*""|[^;&\s]*)", RegexOptions.IgnoreCase)]
    private static partial Regex PasswordOption();
}
