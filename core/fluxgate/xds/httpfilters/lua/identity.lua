-- What a verified caller may do, and how upstreams and later filters learn who it is. AUTH_METADATA
-- and LOGGED are defined in front of this file. A caller is a table: kind, id, tenant, subject, role,
-- roles, audience, audiences, scopes, names and values (identity headers); roles, audiences and scopes
-- are sets.

local find, match, sub, gsub, lower = string.find, string.match, string.sub, string.gsub, string.lower

local POLICIES = 4096

local function words_of(text)
  local list, set = {}, {}
  for word in string.gmatch(text, "%S+") do
    list[#list + 1] = word
    set[word] = true
  end
  return list, set
end

local IDENTITY = { "x-tenant-id", "x-workspace-id", "x-auth-subject", "x-pg-role",
  "x-auth-key-id", "x-auth-scopes" }

-- The identity headers of a caller and their values, without those that say nothing.
local function stated(identity)
  local names, values = {}, {}
  for i = 1, #IDENTITY do
    if identity[i] ~= "" then
      names[#names + 1] = IDENTITY[i]
      values[#values + 1] = identity[i]
    end
  end
  return names, values
end

-- What routes ask of a caller: "optional=true;query=true;scopes=a b;audiences=c;tenants=d;
-- plan=e;allowroles=f;denyscopes=g", each part absent for the strict default. Parsed once, because
-- every crossing into Envoy costs.
local policies, policy_count = {}, 0
local ACL = { "scopes", "domains", "subdomains", "subjects", "tenants", "roles" }

local function acl_of(policy, verb)
  local lists = {}
  for _, list in ipairs(ACL) do
    if policy[verb .. list] then
      lists[#lists + 1] = { list = list, words = words_of(policy[verb .. list]) }
    end
  end
  return #lists > 0 and lists or nil
end

local function parse_policy(text)
  local policy = {}
  for name, value in string.gmatch(text, "([a-z]+)=([^;]*)") do
    policy[name] = value
  end
  policy.allow, policy.deny = acl_of(policy, "allow"), acl_of(policy, "deny")
  policy.grants = policy.scopes or policy.audiences or policy.tenants or policy.allow or policy.deny
  if policy_count >= POLICIES then
    policies, policy_count = {}, 0
  end
  policies[text] = policy
  policy_count = policy_count + 1
  return policy
end

-- Whether scopes include one: by name, or by a wildcard such as "routes:*" for "routes:write".
local function granted(scopes, scope)
  return scopes[scope] or scopes[gsub(scope, ":[^:]*$", ":*")]
end

local function has(record, list, word)
  if list == "subjects" then
    return record.subject == word
  elseif list == "tenants" then
    return record.tenant == word
  elseif list == "roles" then
    return record.role == word or record.roles ~= nil and record.roles[word]
  end
  return granted(record.scopes, word)
end

local function has_any(record, entry)
  for _, word in ipairs(entry.words) do
    if has(record, entry.list, word) then
      return true
    end
  end
  return false
end

local NOT_LISTED = " is not on this route's access list."
local EXCLUDED = " is excluded by this route's access list."

local function refused_by_acl(record, policy)
  for _, entry in ipairs(policy.deny or {}) do
    if has_any(record, entry) then
      return record.kind .. EXCLUDED
    end
  end
  for _, entry in ipairs(policy.allow or {}) do
    if not has_any(record, entry) then
      return record.kind .. NOT_LISTED
    end
  end
  return false
end

-- The sentence that refuses a caller, or false when the policy is met; and the scopes it lacks.
local function missing_grant(record, policy)
  local missing = {}
  for _, scope in ipairs(words_of(policy.scopes or "")) do
    if not granted(record.scopes, scope) then
      missing[#missing + 1] = scope
    end
  end
  if #missing > 0 then
    local list = table.concat(missing, ", ")
    return record.kind .. " lacks the scope " .. list .. ".", table.concat(missing, " ")
  end
  local audiences = words_of(policy.audiences or "")
  local meant = #audiences == 0
  for _, audience in ipairs(audiences) do
    meant = meant or record.audiences[audience]
  end
  if not meant then
    local own = record.audience == "" and "no audience" or "the audience " .. record.audience
    return record.kind .. " is for " .. own .. "; this route is for "
      .. table.concat(audiences, ", ") .. "."
  end
  local tenants, welcome = words_of(policy.tenants or "")
  if #tenants > 0 and not welcome[record.tenant] then
    return record.kind .. " belongs to a tenant that may not use this route."
  end
  return refused_by_acl(record, policy)
end

-- The listener has already removed what the client claims to be (early header mutation, before
-- any route is chosen), so nothing is left to remove here; and still nothing is appended to.
local function set_identity(headers, record)
  local names, values = record.names, record.values
  for i = 1, #names do
    headers:replace(names[i], values[i])
  end
end

-- For limits and access logs. Each value is a crossing into Envoy, and costs a fifth of what
-- calling a script does: said is only what something reads and what is not empty.
local function set_metadata(handle, record, policy, plan)
  local told = LOGGED or policy.counted
  if not told and plan == "" then
    return
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set(AUTH_METADATA, "key_id", record.id)
  if plan ~= "" then
    metadata:set(AUTH_METADATA, "plan", plan)
  end
  if told and record.tenant ~= "" then
    metadata:set(AUTH_METADATA, "tenant", record.tenant)
  end
  if LOGGED and record.class then
    metadata:set(AUTH_METADATA, "credential", record.class)
  end
end
